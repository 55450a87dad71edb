"""Every path pattern of the workflow, once: a directory level per wildcard; logs and benchmarks mirror the results."""

NO_ONE = "none"  # "held out: none", the fold of a complete-development fusion


class Paths:
    """Patterns with Snakemake wildcards below the folder of all results; `fill` puts values in."""

    def __init__(self, results: str) -> None:
        self.results = results
        suite = f"{results}/{{suite}}"
        self.recordings = f"{suite}/recordings"  # root of a simulated suite
        self.simulated = f"{suite}/recordings/{{machine}}"  # folder of one simulated machine
        self.archives = f"{suite}/fetch/archives.json"  # what is to be fetched for a suite
        self.fetched = f"{suite}/fetch/{{part}}/{{machine}}.txt"  # says within one run that an archive is unpacked
        self.manifest = f"{suite}/manifest/{{machine}}.csv"
        self.clip_health = f"{suite}/health/{{machine}}.csv"  # measurements of each clip of one machine
        self.health = f"{suite}/check"  # folder of the health tables of a suite
        self.autoencoder = f"{suite}/autoencoders/{{model}}/{{machine}}.safetensors"
        self.training_log = f"{suite}/autoencoders/{{model}}/{{machine}}.csv"
        # Scores of whole training batches, which the baseline fits its thresholds to.
        self.batch_values = f"{suite}/autoencoders/{{model}}/batches/{{machine}}.csv"
        self.residuals = f"{suite}/residuals/{{model}}/{{machine}}.h5"
        self.adapter = f"{suite}/adapters/{{model}}"  # folder of one adapted model, of the suite it was trained on
        self.embeddings = f"{suite}/embeddings/{{model}}/{{machine}}.h5"
        # Folders: <branch>.csv, and <branch>.json with what was reduced and the provenance; <branch>.csv of the normal
        # training clips, which thresholds come from; <system>/<seed>.json of one fold; <system>/<seed>.csv.
        self.scores = f"{suite}/scores/{{model}}/{{machine}}"
        self.normal_scores = f"{suite}/normal_scores/{{model}}/{{machine}}"
        self.fusion = f"{suite}/fusion/{{protocol}}/{{held_out}}"
        self.fused = f"{suite}/fused/{{protocol}}/{{machine}}"
        self.tables = f"{suite}/tables"
        self.clips = f"{suite}/clips"  # the clips that the systems get most wrong, as pictures and sounds
        self.studies = f"{suite}/studies"  # a folder for each study: its table as CSV and LaTeX, and its figures
        self.submission = f"{results}/submission/{{suite}}"  # what is submitted for one evaluation suite
        self.baseline = f"{results}/baseline/{{suite}}/{{model}}"  # as the official baseline writes them
        self.report = f"{results}/report.html"
        self.figures = f"{results}/figures"
        self.benchmarks = f"{results}/benchmarks"  # run times of all jobs

    def normal_scores_of(self, place: str) -> str:
        """What is made with a score table, or a folder of them, from the normal training clips."""
        suite, _, rest = place.removeprefix(f"{self.results}/").split("/", 2)
        return f"{self.results}/{suite}/normal_scores/{rest}"

    def log(self, pattern: str) -> str:
        """Log file of the job that makes `pattern`."""
        return f"{self.results}/logs/{pattern.removeprefix(self.results + '/')}.log"

    def benchmark(self, pattern: str) -> str:
        """Run time and memory of the job that makes `pattern`."""
        return f"{self.benchmarks}/{pattern.removeprefix(self.results + '/')}.tsv"


def fill(pattern: str, **values: str) -> str:
    """Put values into a pattern; braces in a value are taken as they are."""
    for name, value in values.items():
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern
