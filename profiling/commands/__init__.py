"""What `profiling` can be told: a command a rule of the workflow, and commands that people run by hand.

Every command imports only its own stage, so that help is instant and a job loads no more than it needs.
"""
