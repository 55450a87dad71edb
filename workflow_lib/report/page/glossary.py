"""The words of the page: names and meanings of protocols and figures, in plain language."""

from typing import NamedTuple


class Term(NamedTuple):
    """A word of the glossary."""

    title: str
    meaning: str


# The order of the page: from the weakest claim about a new machine to the strongest.
PROTOCOLS: dict[str, Term] = {
    "complete_dev": Term(
        "Complete development",
        "All machines, the scored ones included, chose the settings, the calibration and the fusion weights. "
        "It describes this data set and tends to be optimistic for a new machine.",
    ),
    "fixed_lomo": Term(
        "Fixed leave-one-machine-out",
        "An adapted model is trained again without the machine that it then scores. "
        "All other settings were fixed beforehand and are the same for every machine; a system with fixed weights is "
        "calibrated on the other machines.",
    ),
    "cross_fitted": Term(
        "Cross-fitted",
        "Each machine is scored with calibration and fusion weights that only the other machines chose. "
        "Settings inside a branch (block, components, neighbours) were still fixed with all machines in view.",
    ),
    "nested_lomo": Term(
        "Nested leave-one-machine-out",
        "As cross-fitted, but the scores that choose calibration and weights come from adapted models that heard "
        "neither the held-out machine nor the machine being scored: nothing of the held-out machine takes part, not "
        "even its normal sounds. Settings inside a branch (block, components, neighbours) are chosen there too, where "
        "the branch declares candidates; each fold's choice is listed.",
    ),
}


def protocol_term(protocol: str) -> Term:
    """Title and meaning of a protocol; one that this page does not know keeps its own name."""
    plain = protocol.replace("_", " ")
    return PROTOCOLS.get(protocol, Term(plain[:1].upper() + plain[1:], "A protocol of your own configuration."))


def protocol_order(protocol: str) -> tuple[int, str]:
    """Sort key that puts the known protocols in the order above and others after them."""
    known = list(PROTOCOLS)
    return (known.index(protocol) if protocol in known else len(known), protocol)


METRICS: dict[str, str] = {
    "source_auc": "Source AUC",
    "target_auc": "Target AUC",
    "pauc": "pAUC",
    "harmonic_mean": "Harmonic mean",
}

UNTRAINED_HEADLINE = "Untrained: its scores show the machinery, not the method"
UNTRAINED_SECTION = "Untrained models: they show that the workflow runs"
UNTRAINED_READING = (
    "Models with random weights take part in all that follows. Rankings list these entries after all others; their "
    "figures say nothing about the method."
)
UNTRAINED_BASE = "untrained base"
NOTHING_CHOSEN = "Nothing was chosen on this suite, as it has no labels."
TRANSFERRED = "Weights and calibration of {} are those found on labelled machines under this protocol."
TRANSFERRED_CALIBRATION = "The calibration of {} is that found on labelled machines under this protocol."
TRANSFERRED_WEIGHTS = "The weights of {} are those found on labelled machines under this protocol."
WEIGHTS_EQUAL = "The branches of {} have equal weights: no machine chose them."
WEIGHTS_PSEUDO = (
    "The branches of {} are weighted by each machine's own pseudo-anomalies, disturbed normal training clips: no "
    "machine chose them, and no real fault is in them."
)
OWN_CALIBRATION = "{}: each machine is calibrated by its own normal training clips."
TWINS = (
    "“Equal weights” behind a name: the same branches and calibration with equal weights, for comparison with the "
    "weights that were chosen ({})."
)
WEIGHTS_FIXED = "The fusion weights of {} were fixed by the configuration: no machine chose them."
NOT_EVALUATED = "scored and ranked, not evaluated"

GLOSSARY: tuple[Term, ...] = (
    Term(
        "Ω (official score)",
        "The harmonic mean of the source AUC, target AUC and pAUC of all machines together. One weak machine pulls it "
        "down, and strong ones cannot hide it. 1 is perfect; guessing gives about 0.5.",
    ),
    Term(
        "Anomaly score",
        "One number per clip: the higher, the less the clip sounds like the normal recordings of that machine. "
        "Scores of different systems or machines have no common scale; compare places in a ranking, not scores.",
    ),
    Term(
        "Source and target domain",
        "Source: the operating condition with many normal training clips. Target: a changed condition (speed, load, "
        "surroundings) with only a few.",
    ),
    Term(
        "Source AUC",
        "How often a random anomalous clip, of either domain, scores higher than a random normal clip of the source "
        "domain. 1 is always, 0.5 is a coin toss, below 0.5 is worse than a coin toss.",
    ),
    Term("Target AUC", "The same against normal clips of the target domain."),
    Term(
        "pAUC",
        "The AUC in the region that matters on a shop floor: at most 10 % false alarms, over both domains. "
        "It is rescaled (McClish) so that 0.5 is guessing and 1 is perfect, as for the AUC.",
    ),
    Term("Harmonic mean", "Of the three figures of one machine; close to the smallest of them."),
    Term(
        "Branch and system",
        "A branch is one way of scoring a clip: a model, what is taken from the near and far microphone, and a scorer. "
        "A system is a weighted blend of branches.",
    ),
    Term(
        "Weight and calibration",
        "Branches speak on different scales. Median and interquartile range (IQR) of a branch's scores map it to 0 … 1 "
        "before the weights, which add up to 1, blend the branches; or mean and standard deviation of the branch's "
        "scores of the machine's own normal training clips do. Machines with labels choose the weights, unless the "
        "configuration fixes them or makes them equal.",
    ),
    Term(
        "Held out",
        "The machine that had no say in the weights and calibration it is scored with. "
        "An adapted model has heard nothing of the machines held out from it.",
    ),
    Term(
        "Adapted model",
        "A pre-trained model that was trained further on normal clips of your machines. It learns to tell their "
        "attribute classes apart; it never hears an anomaly.",
    ),
    Term(
        "Loss",
        "What training brings down, step by step (equation 1 of the paper): how badly the model tells attribute "
        "classes, machines and domains apart, and how far near and far microphone disagree. It is no anomaly score.",
    ),
    Term(
        "Attribute class",
        "Clips that share machine, domain and attributes, such as speed or load.",
    ),
    Term(
        "Withheld clips",
        "Normal training clips that were kept out of training to try the model on. They are of machines that it "
        "learned; held out are whole machines.",
    ),
    Term(
        "Chance",
        "The share of the commonest attribute class among the withheld clips: what always naming that class would get "
        "right. An accuracy near it means that nothing was learned.",
    ),
    Term(
        "Interval",
        "Where the figure would lie for other clips of the same machines: the test clips are drawn again and again, "
        "with repetition, and the figure is measured each time. It says nothing about other machines.",
    ),
    Term(
        "ROC curve",
        "For every possible threshold, the share of anomalies found against the share of normal clips that raise a "
        "false alarm. The AUC is the area below it.",
    ),
    Term(
        "Decision threshold",
        "The score above which a clip is called anomalous. It comes from normal training clips alone, each scored "
        "without itself among the normal recordings.",
    ),
    Term("Seed", "The number that random steps of training started from. Another seed gives other scores."),
    Term(
        "Untrained",
        "A model with random weights. It runs through every step, but what it scores says nothing about the method.",
    ),
    Term(
        "Undefined",
        "A figure that cannot be measured, as the normal or the anomalous test clips it needs are missing "
        "or their labels are unknown.",
    ),
)
