"""What changes with the step: the stage, learning rates, the decay of the moving average."""

from genscene.experiment.schema import Experiment, Stage


def stage_at(experiment: Experiment, step: int) -> Stage:
    """The stage that a step belongs to."""
    return [stage for stage in experiment.stages if stage.start <= step][-1]


def largest_size(experiment: Experiment) -> tuple[int, int]:
    """Height and width of the largest images of any stage that the run reaches."""
    sizes = [stage.size for stage in experiment.stages if stage.start < experiment.steps]
    return max(h for h, _ in sizes), max(w for _, w in sizes)


def images_before(experiment: Experiment, step: int) -> int:
    """Images that the steps before this one used, over all processes."""
    stages = experiment.stages
    ends = [stage.start for stage in stages[1:]] + [max(step, stages[-1].start)]
    return sum(
        max(0, min(step, end) - stage.start) * stage.batch for stage, end in zip(stages, ends, strict=True)
    )


def learning_rate(experiment: Experiment, player: str, step: int, decays: bool = True) -> float:
    """The learning rate of a player at a step; without its decay, that of parts whose rate stays."""
    optim = experiment.optim[player]
    if not decays:
        return optim.lr * stage_at(experiment, step).lr
    begin = optim.decay_from * experiment.steps
    length = optim.decay_steps or max(1.0, experiment.steps - begin)
    progress = max(0.0, (step - begin) / length)
    if optim.decay == "linear":
        decay = 1 + (optim.final_lr_ratio - 1) * min(1.0, progress)
    else:
        decay = optim.final_lr_ratio**progress
    return optim.lr * stage_at(experiment, step).lr * decay


def ema_decay(experiment: Experiment, step: int) -> float:
    """The weight of the old moving average at a step."""
    ema = experiment.ema
    decay = ema.decay
    if ema.half_life:
        batch = stage_at(experiment, step).batch
        half_life = ema.half_life
        if ema.rampup:
            half_life = min(half_life, ema.rampup * images_before(experiment, step))
        decay = 0.5 ** (batch / max(half_life, 1e-8))
    return min(decay, (1 + step) / (ema.warmup + step)) if ema.warmup else decay
