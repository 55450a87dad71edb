"""Every path pattern of the workflow, once: a directory level per wildcard; logs and benchmarks mirror the results."""

from dataclasses import dataclass

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
        """Folder of the score tables that the branches of one model give one machine.

        <branch>.csv, and <branch>.json: what was reduced, and the provenance.
        """
        return f"{self.results}/{{suite}}/scores/{{model}}/{{machine}}"

    @property
    def normal_scores(self) -> str:
        """Folder of the scores of the normal training clips, <branch>.csv: thresholds come from them."""
        return f"{self.results}/{{suite}}/normal_scores/{{model}}/{{machine}}"

    def normal_scores_of(self, place: str) -> str:
        """What is made with a score table, or a folder of them, from the normal training clips."""
        suite, _, rest = place.removeprefix(f"{self.results}/").split("/", 2)
        return f"{self.results}/{suite}/normal_scores/{rest}"

    @property
    def fusion(self) -> str:
        """Folder of calibrations and weights chosen without the fold `held_out`: <system>/<seed>.json."""
        return f"{self.results}/{{suite}}/fusion/{{protocol}}/{{held_out}}"

    @property
    def fused(self) -> str:
        """Folder of one machine's fused score tables: <system>/<seed>.csv."""
        return f"{self.results}/{{suite}}/fused/{{protocol}}/{{machine}}"

    @property
    def tables(self) -> str:
        return f"{self.results}/{{suite}}/tables"

    @property
    def clips(self) -> str:
        """Folder of the clips that the systems of a suite get most wrong, as pictures and sounds."""
        return f"{self.results}/{{suite}}/clips"

    @property
    def studies(self) -> str:
        """Folder of the studies of a suite, a folder each: its table as CSV and LaTeX, and its figures."""
        return f"{self.results}/{{suite}}/studies"

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
