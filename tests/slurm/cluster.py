"""A Slurm of two nodes on this machine: its daemons, its configuration, and what it says."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil

ETC = Path("/etc/slurm")
FILES = (ETC / "slurm.conf", ETC / "gres.conf")
SERVED = Path("/run/slurm/conf/slurm.conf")
"""Where a node keeps the configuration that its controller serves."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
NODES = {"n1": ("a100", ("/dev/null", "/dev/zero")), "n2": ("t4", ("/dev/full", "/dev/random"))}
"""Node -> the model of its pretended GPUs, and the device files that stand for them."""
NODE_MEMORY_MB = 64_000
_READY_SECONDS = 30.0
_ADDRESS = "127.0.0.1"

MARK = "# Written by finegrid's tests, which remove it when they end.\n"
CONFIGURATION = """\
ClusterName=finegrid
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
MinJobAge=3600
ReturnToService=2
KillWait=20
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why no Slurm can be started here; None where one can."""
    if os.geteuid() != 0:
        return "Slurm's daemons have to be started as root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"Slurm is not installed (missing: {', '.join(missing)}): apt-get install slurm-wlm"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "snakemake-executor-plugin-slurm is not installed"
    own = [str(path) for path in (*FILES, SERVED) if path.exists() and not _is_left(path)]
    own += [f"SLURM_CONF={os.environ['SLURM_CONF']}"] if "SLURM_CONF" in os.environ else []
    if own:
        return f"this machine has a Slurm of its own ({', '.join(own)}), which is left alone"
    return None


def _is_left(path: Path) -> bool:
    """Whether it is what tests that were killed have left: nobody uses it any more."""
    daemons = {"slurmctld", "slurmd"}
    runs = any(process.info["name"] in daemons for process in psutil.process_iter(["name"]))
    return not runs and path.read_text().startswith(MARK)


@dataclass
class Cluster:
    """The running daemons. Made by `started`."""

    folder: Path
    slurmds: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_node(self, node: str) -> None:
        """Start the node's daemon, and wait until the node takes jobs."""
        self.slurmds[node] = _daemon("slurmd", "-D", "-N", node)
        wait_for(lambda: self._state(node) in ("IDLE", "MIXED", "ALLOCATED"), f"node {node}")

    def stop_nodes(self) -> None:
        """Stop the nodes' daemons, and whatever still runs under them."""
        for node, daemon in self.slurmds.items():
            for process in _running_on(node):
                signal_to(process, signal.SIGKILL)
            _stop(daemon)

    def lose_node(self, node: str) -> None:
        """Let the node die with all that runs on it, as a loss of power would."""
        processes = [psutil.Process(self.slurmds[node].pid), *_running_on(node)]
        # Stopped first: none of them may live to tell the controller that another one died.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in processes:
                signal_to(process, number)
        self.slurmds.pop(node).wait()
        slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def jobs(self, state: str = "all") -> list[str]:
        """The numbers of the jobs in a state."""
        return slurm("squeue", "--noheader", "--format=%i", f"--states={state}").split()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job, by field."""
        text = slurm("scontrol", "show", "job", number)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def cancel(self, number: str) -> None:
        """Cancel a job: its processes are asked to end, and killed `KillWait` seconds later."""
        slurm("scancel", number)

    def start_at_once(self, number: str) -> None:
        """Spare a job the two minutes that Slurm lets pass after it took it off a node."""
        wait_for(lambda: self.job(number)["JobState"] == "PENDING", f"job {number} put back")
        slurm("scontrol", "update", f"jobid={number}", "starttime=now")

    def end_jobs(self) -> None:
        """End whatever is left at once, and wait until it has ended."""
        slurm("scancel", "--user=root", "--full", "--signal=KILL")
        slurm("scancel", "--user=root")
        left = "running,pending,completing,configuring"
        wait_for(lambda: not self.jobs(left), "the end of all jobs")

    def _state(self, node: str) -> str:
        text = slurm("scontrol", "show", "node", node)
        return text.partition("State=")[2].split()[0]


@contextmanager
def started() -> Iterator[Cluster]:
    """A Slurm for as long as the block lasts. Nothing of it stays."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="finegrid-slurm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _configure(folder, stack)
        _start_munge(folder, stack)
        controller = _daemon("slurmctld", "-D", "-c")
        stack.callback(_stop, controller)
        wait_for(lambda: "UP" in _ping(), "slurmctld")
        cluster = Cluster(folder)
        stack.callback(cluster.stop_nodes)
        for node in NODES:
            cluster.start_node(node)
        stack.callback(cluster.end_jobs)
        yield cluster


def slurm(*command: str) -> str:
    """What one of Slurm's commands prints. Raises RuntimeError with what it complains of."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def wait_for(is_there: Callable[[], object], what: str, seconds: float = _READY_SECONDS) -> None:
    """Wait until something is there. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not there after {seconds:g} s")
        time.sleep(0.2)


def signal_to(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process, if it has not ended by itself."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _configure(folder: Path, stack: ExitStack) -> None:
    """Write `/etc/slurm`: the plug-in's job step reads it there and nowhere else."""
    if not ETC.exists():
        ETC.mkdir()
        stack.callback(ETC.rmdir)
    nodes, devices = [], []
    controller_port, *ports = _free_ports(1 + len(NODES))
    for port, (node, (model, files)) in zip(ports, NODES.items(), strict=True):
        nodes.append(
            f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr={_ADDRESS} "
            f"Port={port} CPUs=2 RealMemory={NODE_MEMORY_MB} "
            f"Gres=gpu:{model}:{len(files)} State=UNKNOWN"
        )
        devices.append(f"NodeName={node} Name=gpu Type={model} File={','.join(files)}")
    (folder / "state").mkdir()
    text = CONFIGURATION.format(
        host=socket.gethostname(),
        address=_ADDRESS,
        port=controller_port,
        folder=folder,
        nodes="\n".join(nodes),
    )
    for file, content in zip(FILES, (text, "\n".join(devices) + "\n"), strict=True):
        stack.callback(file.unlink, missing_ok=True)
        file.write_text(MARK + content)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((_ADDRESS, 0))
        return [one.getsockname()[1] for one in sockets]


def _start_munge(folder: Path, stack: ExitStack) -> None:
    home = folder / "munge"
    folder.chmod(0o711)
    home.mkdir(mode=0o711)
    key = home / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    files = {name: home / name for name in ("socket", "pid-file", "log-file", "seed-file")}
    options = [f"--{name}={path}" for name, path in files.items()]
    munge = _daemon("munged", "--foreground", f"--key-file={key}", *options)
    stack.callback(_stop, munge)
    wait_for((home / "socket").exists, "munged")


def _daemon(*command: str) -> subprocess.Popen[bytes]:
    # In a session of its own: an interrupt at the terminal must leave the end to `started`.
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _ping() -> str:
    done = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, check=False)
    return done.stdout


def _running_on(node: str) -> list[psutil.Process]:
    """What Slurm started on the node, and the step daemons that watch over it."""
    jobs = [process for process in psutil.process_iter() if _is_of(process, node)]
    daemons: set[psutil.Process] = set()
    for process in jobs:
        with suppress(psutil.NoSuchProcess):
            daemons |= {one for one in process.parents() if one.name() == "slurmstepd"}
    return [*daemons, *jobs]


def _is_of(process: psutil.Process, node: str) -> bool:
    try:
        return bool(process.environ().get("SLURMD_NODENAME") == node)
    except psutil.Error:
        return False
