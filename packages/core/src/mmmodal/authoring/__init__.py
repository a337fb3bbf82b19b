"""The public modules for authors of plugins and packages, besides `mmmodal` itself.

All names in the modules of this package are public: documented, and compatible between minor
versions. All other modules of core are private.

    authoring.commands    output and options of commands
    authoring.files       files that are written whole; YAML files that users copy and edit
    authoring.media       sources, limits, reading; images and sound as core decodes them
    authoring.parts       contracts of parts and conversions, options and errors
    authoring.plugins     hooks and kinds of parts that a package defines itself
    authoring.pretrained  weights and settings of published models
    authoring.ranks       collective operations of the processes of a launcher
    authoring.records     records, rows and formats of data files
    authoring.reports     components of an HTML report
    authoring.training    recipes, stages, answers to many conversations
"""
