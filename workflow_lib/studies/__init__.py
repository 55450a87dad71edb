"""Studies: tables and figures that are declared in the configuration, with the paper's published values beside ours."""
