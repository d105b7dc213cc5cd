"""Attribute classifiers."""

from celeba_lab.models.classifier.backbones import register_backbone
from celeba_lab.models.classifier.module import AttributeClassifier

__all__ = ["AttributeClassifier", "register_backbone"]
