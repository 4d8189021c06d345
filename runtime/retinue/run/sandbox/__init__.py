"""A script that nobody has read → what it printed and wrote, without it reaching anything else.

`process` starts a launcher for each script: a small process without secrets (`launcher`) that
forks, confines its child for ever (`confine`) and lets it become the script's interpreter. It
stays to watch and to end all that the script has started (`watch`). What it is told is a `plan`.
Nothing here needs root, a container or a package; what a kernel doesn't have is reported as a
missing layer. Nothing but the standard library is imported: the launcher has nothing else.
"""
