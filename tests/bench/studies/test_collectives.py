"""What devices send, read from the text of compiled programs."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdissect.bench.studies.collectives import (
    Collective,
    programs_of_process,
    read_collectives,
    traced,
)
from jaxdissect.bench.studies.projection import what_ran

TEXT = """
HloModule jit_step, is_scheduled=true
  %gather = u32[4,32,2]{2,1,0} all-gather(%a), replica_groups=[2,4]<=[8], dimensions={0}
  %all-reduce.3 = (f32[8]{0}, bf16[2,3]{1,0}) all-reduce(%b, %c), replica_groups={{0,2},{1,3}}
  %rows = u8[2,40]{1,0} all-gather(%p), replica_groups=mesh['a'=2,'b'=1,'c'=4] {'a'}, dimensions={0}
  %start = (s32[2]{0}, s32[8]{0}) all-gather-start(%d), dimensions={0}
  %done = s32[8]{0} all-gather-done(%start)
  %flags = pred[4,10]{1,0} collective-permute(%e), source_target_pairs={{0,1}}
  ROOT %add = f32[8]{0} add(f32[8]{0} %all-reduce.3, f32[8]{0} %x)
"""


def test_operations_and_their_bytes_are_read():
    found = {one.name: (one.kind, one.bytes, one.members) for one in read_collectives(TEXT)}
    assert found == {
        "gather": ("all-gather", 4 * 32 * 2 * 4, 4),
        "all-reduce.3": ("all-reduce", 8 * 4 + 6 * 2, 2),
        "rows": ("all-gather", 80, 2),
        "start": ("all-gather", 8 * 4, 0),
        "flags": ("collective-permute", 40, 0),
    }


@pytest.mark.parametrize(
    "kind, received, result",
    [
        ("all-gather", 7 * 100, 800),  # 100 bytes of each of 8
        ("all-reduce", 2 * 7 / 8 * 400, 400),
        ("reduce-scatter", 7 / 8 * 1600, 200),  # of 1600 bytes each keeps an eighth
        ("all-to-all", 7 / 8 * 400, 400),
        ("collective-permute", 400, 400),
    ],
)
def test_bytes_follow_the_number_of_devices(kind, received, result):
    one = Collective(name="x", kind=kind, bytes=400)  # compiled for 4
    assert one.received(8, 4) == pytest.approx(received)
    assert one.result(8, 4) == pytest.approx(result)
    assert one.received(1, 4) == 0


def test_a_compiled_program_and_its_runs_are_found():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    split = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def gathered_for_a_test(values):
        return jax.lax.with_sharding_constraint(values, everywhere)

    run = jax.jit(gathered_for_a_test)
    values = jax.device_put(jnp.zeros((4, 25), jnp.int32), split)
    run(values).block_until_ready()
    _, ran = traced(lambda: [run(values).block_until_ready() for _ in range(3)])
    name = "jit_gathered_for_a_test"
    programs = [one for one in programs_of_process() if one[0] == name]
    sent = what_ran(programs, ran, devices=4)
    assert [(one.program, one.runs) for one in sent.sending] == [(name, 3)]
    assert sent.received(4) == 3 * 3 * 100  # bytes of three others, three times
    assert sent.room(256) == 256 * 100


def test_programs_that_did_not_run_again_send_nothing():
    gather = Collective(name="gather", kind="all-gather", bytes=8)
    programs = [("join", (gather,)), ("join", (gather,)), ("once", (gather,)), ("step", ())]
    ran = Counter({("join", "gather"): 8, ("step", "add"): 40})
    sent = what_ran(programs, ran, devices=2)
    assert [(one.program, one.runs) for one in sent.sending] == [("join", 2.0), ("join", 2.0)]
    assert sent.silent == ("step",) and sent.operations == 4
