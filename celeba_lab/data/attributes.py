"""The names of CelebA's forty attributes."""

from collections.abc import Sequence

from celeba_lab.errors import SettingError, did_you_mean

ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)
"""Attribute names in the official order (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015)."""


ALL = "all"
"""Value that selects all forty attributes, as in ``model.attributes=all``."""


def check_attributes(names: Sequence[str], setting: str = "attributes") -> list[str]:
    """Validate attribute names and return them as a list. The value ``"all"`` selects all forty names.

    Args:
        names: The names, or ``"all"``.
        setting: Name of the setting, used in error messages.

    Raises:
        SettingError: The list is empty, or contains an unknown or repeated name. For an unknown name, the message
            suggests the most similar attribute.

    Example:
        >>> check_attributes(("Smiling", "Male"))
        ['Smiling', 'Male']
    """
    if names == ALL:
        return list(ATTRIBUTES)
    if isinstance(names, str):
        raise SettingError(setting, names, f"must be {ALL} or a list of names, such as [{names}]")
    names = list(names)
    if not names:
        raise SettingError(setting, names, "must name at least one attribute, such as [Smiling]")
    for position, name in enumerate(names):
        if name not in ATTRIBUTES:
            hint = did_you_mean(str(name), ATTRIBUTES) or f"The forty attributes are {', '.join(ATTRIBUTES)}."
            raise SettingError(setting, names, f"contains '{name}', which is not an attribute of CelebA", hint)
        if name in names[:position]:
            raise SettingError(setting, names, f"contains '{name}' twice", "Remove one of the two.")
    return names
