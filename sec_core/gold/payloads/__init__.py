"""The payloads of the dashboard, one small pure function each: frames in, validated rows out."""
