"""How it runs: the `sec` command, the local stack, limits and automations as code, SQL for Supabase."""
