SELECT last_value AS value, is_called FROM {sequence}
