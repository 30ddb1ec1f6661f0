"""What the columns of the report's tables mean, in a sentence each."""

EXPLAINED = {
    "Reward finite (%)": "Share of the samples whose reward is not -inf, that is, which keep the constraint.",
    "Mean of finite rewards": "Mean of the rewards that are not -inf, ± one standard error.",
    "Mean reward ± s.e.": "Mean over the drawn samples, ± one standard error; three errors are a difference.",
    "95 % interval": "Bootstrap interval of the mean reward.",
    "Top 20 %": "The reward that the best fifth of the samples reaches.",
    "Top 20 % interval": "Bootstrap interval of it, 95 %.",
    "Top 10 %": "The reward that the best tenth of the samples reaches.",
    "Top 10 % interval": "Bootstrap interval of it, 95 %.",
    "Weighted mean (particles)": "Mean reward under p*, estimated by the weights of all particles of a group.",
    "Dead groups (%)": "Share of the groups whose particles all had a weight of 0.",
    "log Z (nats)": "Log of the mean of exp(r/α) under the pretrained model. Samplers of one target agree on it.",
    "Reference calls / sample": "Evaluations of the pretrained network, mostly what a sample costs.",
    "Policy calls / sample": "Evaluations of a fine-tuned policy.",
    "Value calls / sample": "Evaluations of a value.",
    "Gradient calls / sample": "Gradients of a value or a reward that were followed.",
    "Reward calls / sample": "Evaluations of the reward.",
    "Seconds / sample": "Wall seconds on the machine of this run, with all overheads.",
    "Peak memory (MiB)": "The most memory that the sampler held at once.",
    "Spread over seeds": "Standard deviation of the mean reward over seeds.",
    "Samples": "How many samples the figures are of; a group of particles counts as one.",
    "Failure": "What ended the sampler before its last seed.",
}
OF_THE_SAMPLES = "What the reference, a judge or a metric says of the samples."


def explained(heading: str) -> str:
    """The sentence of a heading of `tables.readable`; those that it does not make itself are of the samples."""
    return EXPLAINED.get(heading, OF_THE_SAMPLES)
