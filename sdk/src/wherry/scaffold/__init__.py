"""New plugins from templates: `wherry new`. Each is a whole project whose tests are green before a line is written.

In a template `@name@` stands for the connector's name, `@module@` for its package, `@title@` for its classes,
`@distribution@` for what is installed. `templates/KIND/` holds a project, `templates/common/` what
all have; words stand in paths too.
"""
