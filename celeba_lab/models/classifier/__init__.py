"""Attribute classifiers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeba_lab.models.classifier.backbones import register_backbone
    from celeba_lab.models.classifier.module import AttributeClassifier

__all__ = ["AttributeClassifier", "register_backbone"]


def __getattr__(name: str) -> Any:
    """Import a name on first access, because not every submodule requires torchvision and Lightning."""
    if name == "AttributeClassifier":
        from celeba_lab.models.classifier.module import AttributeClassifier

        return AttributeClassifier
    if name == "register_backbone":
        from celeba_lab.models.classifier.backbones import register_backbone

        return register_backbone
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
