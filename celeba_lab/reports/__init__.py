"""Reports of results: tables and figures and, for a classifier, one page with all of them.

- :mod:`~celeba_lab.reports.classifier.scores`: scores and mistakes of a classifier, as tables.
- :mod:`~celeba_lab.reports.classifier.report`: the report of a classifier, made of the parts below.
- :mod:`~celeba_lab.reports.classifier.result`: the input of every part.
- :mod:`~celeba_lab.reports.classifier.attributes`: scores of every attribute, compared with the majority class.
- :mod:`~celeba_lab.reports.classifier.history`: metrics after each epoch.
- :mod:`~celeba_lab.reports.classifier.thresholds`: thresholds that are chosen on validation.
- :mod:`~celeba_lab.reports.classifier.calibration`: reliability of the probabilities.
- :mod:`~celeba_lab.reports.classifier.pixels`: what the image adds to the other labels.
- :mod:`~celeba_lab.reports.classifier.groups`: accuracy in subgroups, and amplified associations.
- :mod:`~celeba_lab.reports.classifier.drift`: differences between validation and the reported split.
- :mod:`~celeba_lab.reports.classifier.mistakes`: the most confident mistakes, and contradictory predictions.
- :mod:`~celeba_lab.reports.gan`: training, distances, samples, audit and nearest training faces of a GAN.
- :mod:`~celeba_lab.reports.clusters`: clusters of labels or of features.
- :mod:`~celeba_lab.reports.embeddings`: features of a classifier, and their clusters compared with those of the labels.
- :mod:`~celeba_lab.reports.cooccurrence`: attributes that occur together.
- :mod:`~celeba_lab.reports.logistic`: attributes predicted from each other.
- :mod:`~celeba_lab.reports.predictions`: predictions for image files.
- :mod:`~celeba_lab.reports.synthetic`: the synthetic faces.
- :mod:`~celeba_lab.reports.comparison`: finished runs compared with each other.
- :mod:`~celeba_lab.reports.page`: the HTML page of a report.
"""
