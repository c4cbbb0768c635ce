"""Many pictures: sources, poses in batches, tables, reports and annotated copies."""
