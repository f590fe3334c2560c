"""Statistics as pure functions on arrays; the caller brings the random generator.

`intervals`: the mean over seeds. `components`: what seeds and test items add to its variance.
`comparison`: variants on one task. `ranking`: how stable their order is. `across_tasks`: variants
on several tasks. `front`: scores against costs. `jackknife`: what an item stands for in a score
that is no mean. Higher scores are better, lower costs are better: of a metric of which less is
better the caller gives the scores with their sign.
"""
