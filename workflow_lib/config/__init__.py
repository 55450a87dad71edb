"""What may be said in the configuration: schema, checks, candidate settings, studies. Imported by the DAG parse."""
