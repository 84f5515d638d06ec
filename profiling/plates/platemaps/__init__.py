"""Plate maps as labs write them: from any sheet to one row a well."""
