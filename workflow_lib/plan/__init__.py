"""What is to be made: models, evaluations, suites, paths and the inputs of the rules. Standard library, yaml, jsonschema."""
