"""Studies: tables and figures that are declared in the configuration, with this run's values and the paper's."""
