"""Leave one branch out: what removing each branch of a system changes (Figure 3a)."""
