"""What is to be made: models, evaluations, suites, paths, inputs of the rules. Imported by the DAG parse."""
