"""How experiments are computed: one module for each kind, through the public functions.

Each has settings, the steps that a dry run lists, and a function that takes them and returns what
it measures by name.
"""

from jaxdissect.reproduction.procedures import (
    attack,
    detect,
    dissect_classifier,
    dissect_generator,
    insert,
    remove_from_classifier,
    remove_from_generator,
    style,
)
from jaxdissect.reproduction.procedures.procedure import Procedure

PROCEDURES: dict[str, Procedure] = {
    "dissect-classifier": dissect_classifier.PROCEDURE,
    "dissect-generator": dissect_generator.PROCEDURE,
    "remove-from-classifier": remove_from_classifier.PROCEDURE,
    "detect": detect.PROCEDURE,
    "remove-from-generator": remove_from_generator.PROCEDURE,
    "insert": insert.PROCEDURE,
    "attack": attack.PROCEDURE,
    "style": style.PROCEDURE,
}
"""All procedures, by the names that configuration files call them by."""
