"""The machines: one module each, named after the machine, with a constant MACHINE (`workflow_lib.simulation.model`).

A new module here is a new machine; nothing else is to be changed.
"""
