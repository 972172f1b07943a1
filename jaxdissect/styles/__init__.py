"""Which units are sensitive to shapes, and which to textures."""

from jaxdissect.styles.style_study import LayerStyle as LayerStyle
from jaxdissect.styles.style_study import StyleStudy as StyleStudy
from jaxdissect.styles.style_study import study_style as study_style
from jaxdissect.styles.stylisation import choose_styles as choose_styles
from jaxdissect.styles.stylisation import stylise_folder as stylise_folder
from jaxdissect.styles.stylisation import stylised_name as stylised_name
from jaxdissect.styles.top_pairs import top_image_pairs as top_image_pairs
