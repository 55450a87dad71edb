"""Every path pattern of the workflow, once: a directory level per wildcard; logs and benchmarks mirror the results."""

from dataclasses import dataclass

NO_SEED = "noseed"  # directory level of scores that depend on no adapted model
NO_ONE = "none"  # "held out: none", the fold of a complete-development fusion


@dataclass(frozen=True)
class Paths:
    """Patterns with Snakemake wildcards; `fill` puts values in."""

    results: str

    @property
    def recordings(self) -> str:
        """Root of a simulated suite."""
        return f"{self.results}/{{suite}}/recordings"

    @property
    def simulated(self) -> str:
        """Folder of one simulated machine."""
        return f"{self.recordings}/{{machine}}"

    @property
    def archives(self) -> str:
        """JSON: what is to be fetched for a suite."""
        return f"{self.results}/{{suite}}/fetch/archives.json"

    @property
    def fetched(self) -> str:
        """Says within one run that an archive is unpacked; after it the recordings themselves do."""
        return f"{self.results}/{{suite}}/fetch/{{part}}/{{machine}}.txt"

    @property
    def manifest(self) -> str:
        return f"{self.results}/{{suite}}/manifest/{{machine}}.csv"

    @property
    def clip_health(self) -> str:
        """CSV: what each clip of one machine sounds like."""
        return f"{self.results}/{{suite}}/health/{{machine}}.csv"

    @property
    def health(self) -> str:
        """Folder of the health tables of a suite."""
        return f"{self.results}/{{suite}}/check"

    @property
    def autoencoder(self) -> str:
        return f"{self.results}/{{suite}}/autoencoders/{{model}}/{{machine}}.safetensors"

    @property
    def training_log(self) -> str:
        return f"{self.results}/{{suite}}/autoencoders/{{model}}/{{machine}}.csv"

    @property
    def batch_values(self) -> str:
        """CSV: scores of whole training batches, which the baseline fits its thresholds to."""
        return f"{self.results}/{{suite}}/autoencoders/{{model}}/batches/{{machine}}.csv"

    @property
    def residuals(self) -> str:
        """HDF5: residuals of one autoencoder and machine."""
        return f"{self.results}/{{suite}}/residuals/{{model}}/{{machine}}.h5"

    @property
    def adapter(self) -> str:
        """Folder of one adapted model, below the suite that it was trained on."""
        return f"{self.results}/{{suite}}/adapters/{{model}}"

    @property
    def embeddings(self) -> str:
        """HDF5: statistics of one encoder and machine."""
        return f"{self.results}/{{suite}}/embeddings/{{model}}/{{machine}}.h5"

    @property
    def scores(self) -> str:
        return f"{self.results}/{{suite}}/scores/{{branch}}/{{model}}/{{machine}}.csv"

    @property
    def normal_scores(self) -> str:
        """Scores of the normal training clips, self-excluded where that is possible: what thresholds stand on."""
        return f"{self.results}/{{suite}}/normal_scores/{{branch}}/{{model}}/{{machine}}.csv"

    def normal_scores_of(self, table: str) -> str:
        """The normal scores that are made with a branch's score table."""
        branch, model, file_name = table.rsplit("/", 3)[1:]
        suite = table.removeprefix(f"{self.results}/").split("/")[0]
        return fill(self.normal_scores, suite=suite, branch=branch, model=model, machine=file_name.removesuffix(".csv"))

    @property
    def notes(self) -> str:
        """JSON beside a score table: what was reduced, on what it stands."""
        return f"{self.results}/{{suite}}/scores/{{branch}}/{{model}}/{{machine}}.json"

    @property
    def fusion(self) -> str:
        """JSON: calibration and weights of one fold, chosen without the machine `held_out`."""
        return f"{self.results}/{{suite}}/fusion/{{protocol}}/{{system}}/{{seed}}/{{held_out}}.json"

    @property
    def fused(self) -> str:
        return f"{self.results}/{{suite}}/fused/{{protocol}}/{{system}}/{{seed}}/{{machine}}.csv"

    @property
    def tables(self) -> str:
        return f"{self.results}/{{suite}}/tables"

    @property
    def clips(self) -> str:
        """Folder of the clips that the systems of a suite get most wrong, as pictures and sounds."""
        return f"{self.results}/{{suite}}/clips"

    @property
    def study(self) -> str:
        """Folder of one study of a suite: its table as CSV and LaTeX, and its figures."""
        return f"{self.results}/{{suite}}/studies/{{study}}"

    @property
    def submission(self) -> str:
        """Folder of what is submitted for one evaluation suite."""
        return f"{self.results}/submission/{{suite}}"

    @property
    def baseline(self) -> str:
        """Folder of the files that the official baseline would have written for one autoencoder."""
        return f"{self.results}/baseline/{{suite}}/{{model}}"

    @property
    def report(self) -> str:
        return f"{self.results}/report.html"

    @property
    def figures(self) -> str:
        return f"{self.results}/figures"

    def log(self, pattern: str) -> str:
        """Log file of the job that makes `pattern`."""
        return self._mirror(pattern, "logs", ".log")

    def benchmark(self, pattern: str) -> str:
        """Run time and memory of the job that makes `pattern`."""
        return self._mirror(pattern, "benchmarks", ".tsv")

    @property
    def benchmarks(self) -> str:
        """Folder of the run times of all jobs."""
        return f"{self.results}/benchmarks"

    def _mirror(self, pattern: str, folder: str, suffix: str) -> str:
        return f"{self.results}/{folder}/{pattern.removeprefix(self.results + '/')}{suffix}"


def fill(pattern: str, **values: str) -> str:
    """Put values into a pattern; braces in a value are taken as they are."""
    for name, value in values.items():
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern
