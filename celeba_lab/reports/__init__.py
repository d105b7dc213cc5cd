"""What a person is told about a result: tables, figures and, of a classifier, one page that holds them all.

- :mod:`~celeba_lab.reports.classifier.scores`: what a classifier said, its scores and its mistakes, as tables.
- :mod:`~celeba_lab.reports.classifier.report`: the report of a classifier, made of the parts below.
- :mod:`~celeba_lab.reports.classifier.case`: what every part is given.
- :mod:`~celeba_lab.reports.classifier.attributes`: how well each attribute is told, beside the majority class.
- :mod:`~celeba_lab.reports.classifier.history`: what happened epoch by epoch.
- :mod:`~celeba_lab.reports.classifier.thresholds`: from which probability on to say yes.
- :mod:`~celeba_lab.reports.classifier.calibration`: whether a probability means what it says.
- :mod:`~celeba_lab.reports.classifier.pixels`: what the image adds to the other labels.
- :mod:`~celeba_lab.reports.classifier.groups`: how accuracy differs between groups, and whether it exaggerates.
- :mod:`~celeba_lab.reports.classifier.drift`: how validation and the reported split differ.
- :mod:`~celeba_lab.reports.classifier.mistakes`: the most confident mistakes, and answers that exclude each other.
- :mod:`~celeba_lab.reports.clusters`: the report of a clustering.
"""
