"""What a run leaves and finds again below OUT: records, lease, table, garbage."""
