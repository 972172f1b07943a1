"""Read jaxprs: split a program at a layer, find a linear readout, quicken loops on CPU, compare.

The decision: five questions about a function are answered by its jaxpr, and nowhere else.

- `split` evaluates what does not depend on an example once, and leaves a program of the rest. A
  sweep of thousands of ablations computes everything upstream of the ablated layer only once,
  whatever the network is: no user has to cut a model in two.
- `find_readout` finds out that what follows a layer is linear in its units up to a reduction, so
  that the removal of every single unit follows from one product.
- `loop_body` writes convolutions in a loop with the axes that XLA's CPU kernels are fast for.
- `find_named_values` reads and replaces values that the user's code names with
  `jax.ad_checkpoint.checkpoint_name`, wherever it does so: what has no module becomes a layer.
- `traced_contents` returns what a function computes as plain values, by which a checkpoint knows
  the functions of a user again in another process.

The price: jaxprs are read with `jax.extend`, which is public but promises less than JAX, and the
names of primitives and their parameters may change with any release. A primitive that is not known
is never guessed at: a call is then one step that is not split further, a readout is not found, and
the result is the same, only slower. When JAX changes, tests of `tests/networks/jaxpr` fail first:
`test_linear_readout` if a primitive has another name or parameter, `test_cpu_convolutions` if
convolutions have, `test_named_values` if names have, and all if jaxprs are evaluated in another
way. A checkpoint of another version of JAX is refused in any case. Outside these five files, only
the benchmark reads jaxprs, to count the work of a program: see
`jaxdissect.bench.measuring.analysis`.
"""

from jaxdissect.networks.jaxpr.contents import traced_contents as traced_contents
from jaxdissect.networks.jaxpr.cpu_convolutions import loop_body as loop_body
from jaxdissect.networks.jaxpr.linear_readout import Readout as Readout
from jaxdissect.networks.jaxpr.linear_readout import find_readout as find_readout
from jaxdissect.networks.jaxpr.named_values import NamedValues as NamedValues
from jaxdissect.networks.jaxpr.named_values import find_named_values as find_named_values
from jaxdissect.networks.jaxpr.partial_eval import Program as Program
from jaxdissect.networks.jaxpr.partial_eval import largest_value as largest_value
from jaxdissect.networks.jaxpr.partial_eval import split as split
