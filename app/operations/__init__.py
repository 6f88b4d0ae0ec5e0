"""Operations: what the server does by itself, and what is changed at run time without a restart.

Tables: jobs (what workers run, and when next), job_runs (what ran, and what became of it), settings (what staff chose).
PostgreSQL alone says what is due: a lost Redis costs seconds. May call: identity, core.
"""
