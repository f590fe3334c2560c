"""The index of the pipeline: config -> plan -> prepare -> train -> collect -> tables, plots."""

import sys

sys.path.insert(0, workflow.basedir)

from workflow.pipeline import Pipeline
from workflow.priorities import PREPARATION
from workflow.scheduling import (
    attempts,
    is_batch,
    limit_gpus,
    look_when_jobs_end,
    offer_worker,
    tell_attempts,
)
from workflow.surroundings import name_user, shut_out_working_folder

shut_out_working_folder()
name_user()

PIPELINE = Pipeline.from_config(
    config, workflow.configfiles, workflow.config_settings.config_args
)
NAME = PIPELINE.name
RESULTS = PIPELINE.results
OUTPUTS = PIPELINE.outputs


wildcard_constraints:
    run="[a-z0-9][a-z0-9._-]*",
    key="[a-z0-9][a-z0-9._-]*",


workflow.default_target = "all"


onstart:
    tell_attempts(workflow)
    offer_worker(workflow)
    look_when_jobs_end(workflow)
    limit_gpus(
        workflow,
        PIPELINE.most_gpus,
        PIPELINE.most_nodes,
        shared=PIPELINE.shares_gpus,
    )
    PIPELINE.anatomies.keep()


include: "workflow/rules/prepare.smk"


if not PIPELINE.allow_partial:

    include: "workflow/rules/train.smk"


include: "workflow/rules/analyse.smk"


localrules:
    all,
    processor,


rule all:
    """Every table, plot and the report of the benchmark, and the records that they are made of."""
    input:
        # Named here, or Snakemake would not miss one that was deleted after the tables were made.
        # Not in a batch: it would have all of them. Functions are not called where a job of one run
        # reads this file.
        lambda wildcards: [] if is_batch(workflow) else PIPELINE.results_of_runs,
        OUTPUTS.tables,
        OUTPUTS.evidence,
        OUTPUTS.tuning_table,
        OUTPUTS.plots,
        OUTPUTS.claims,
        f"{RESULTS}/reports/{NAME}.html",
