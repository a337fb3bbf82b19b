"""What authors of plugins and packages import beside `mmmodal` itself.

Everything in the modules of this package is public: documented, and kept from one minor version to
the next. All other modules of core are its own.

    authoring.commands    commands of the line: results on stdout, talk on stderr
    authoring.files       files that appear whole; YAML files that users copy to own
    authoring.media       sources, limits, reading; images and sound as core decodes them
    authoring.parts       options and their errors, what a part and a conversion are made of
    authoring.plugins     hooks and kinds of parts of a package's own
    authoring.pretrained  weights and settings of published models
    authoring.records     records, rows and formats of data files
    authoring.reports     pieces of an HTML report
    authoring.training    recipes, stages, answers to many conversations
"""
