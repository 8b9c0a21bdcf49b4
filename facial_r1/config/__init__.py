"""Typed configuration: the schema, its validation and where the YAML lives."""
