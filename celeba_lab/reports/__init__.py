"""Reports that present results as tables and figures. A classifier's report also includes an HTML page.

- :mod:`~celeba_lab.reports.classifier.scores`: tables of a classifier's scores and mistakes.
- :mod:`~celeba_lab.reports.classifier.report`: the classifier report, assembled from the parts below.
- :mod:`~celeba_lab.reports.classifier.result`: the input shared by all parts.
- :mod:`~celeba_lab.reports.classifier.attributes`: scores for each attribute, compared with the majority class.
- :mod:`~celeba_lab.reports.classifier.history`: metrics after each epoch.
- :mod:`~celeba_lab.reports.classifier.thresholds`: thresholds tuned on the validation split.
- :mod:`~celeba_lab.reports.classifier.calibration`: calibration of the predicted probabilities.
- :mod:`~celeba_lab.reports.classifier.pixels`: comparison with a model that predicts each attribute from the others.
- :mod:`~celeba_lab.reports.classifier.groups`: accuracy in subgroups, and bias amplification.
- :mod:`~celeba_lab.reports.classifier.drift`: differences between the validation split and the reported split.
- :mod:`~celeba_lab.reports.classifier.mistakes`: the most confident mistakes, and contradictory predictions.
- :mod:`~celeba_lab.reports.gan`: a GAN's training curves, distances, samples, audit and nearest training faces.
- :mod:`~celeba_lab.reports.clusters`: clusters of faces, based on their labels or features.
- :mod:`~celeba_lab.reports.embeddings`: a classifier's features, and how well feature clusters match label clusters.
- :mod:`~celeba_lab.reports.cooccurrence`: attributes that occur together.
- :mod:`~celeba_lab.reports.logistic`: attributes predicted from one another.
- :mod:`~celeba_lab.reports.predictions`: predictions for image files.
- :mod:`~celeba_lab.reports.synthetic`: examples of synthetic faces.
- :mod:`~celeba_lab.reports.benchmark`: speed and memory beside reference loops.
- :mod:`~celeba_lab.reports.comparison`: comparison of finished runs.
- :mod:`~celeba_lab.reports.page`: the HTML page for a report.
"""
