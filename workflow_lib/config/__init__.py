"""What may be said: the configuration's schema, its checks, candidate settings and studies. Standard library, yaml, jsonschema."""
