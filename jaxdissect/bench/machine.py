"""The machine's card: on what a benchmark was run."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What could explain a figure.

    Attributes:
        platform: "cpu", "gpu" or "tpu".
        device: Kind of the devices, as JAX names it.
        devices: How many this process has.
        device_memory: Bytes of one device; None where it does not say, as processors.
        driver: Version of its driver; empty where there is none.
        processor: Model of the host's processor.
        cores: That this process may use.
        host_memory: Bytes.
        system: Kernel and C library.
        versions: Of python, jax, jaxlib, flax, numpy, and of libtpu, CUDA and cuDNN where they are.
        xla_flags: XLA_FLAGS.
        environment: Other variables that change speed, JAX_* and LIBTPU_INIT_ARGS among them.
        matmul_precision: `jax_default_matmul_precision`; "default" where none is set.
        cache: Whether compiled programs were kept from earlier processes: "off", "empty", or how
            many there were.
        load: Processes that were running or waiting at the start, averaged over a minute.
    """

    platform: str
    device: str
    devices: int
    device_memory: int | None
    driver: str
    processor: str
    cores: int
    host_memory: int
    system: str
    versions: dict[str, str]
    xla_flags: str
    environment: dict[str, str] = field(default_factory=dict)
    matmul_precision: str = "default"
    cache: str = "off"
    load: float = 0.0
