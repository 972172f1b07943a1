"""The text of a program for a GPU, shortened: as XLA prints it."""

from jaxdissect.bench.measuring.library_calls import bytes_of_library_calls

TEXT = """\
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[8,16,16,64]{3,2,1,0})->f32[8]}

%command_buffer (p: f32[32,64], p.1: bf16[64,10]) -> f32[32,10] {
  %p = f32[32,64]{1,0} parameter(0)
  %a = bf16[64,10]{1,0} parameter(1)
  %gemm.1 = (f32[32,10]{1,0}, s8[4194304]{0}) custom-call(%p, %a), \
custom_call_target="__cublas$gemm", backend_config={"gemm_backend_config":{"alpha_real":1}}
  ROOT %get-tuple-element.3 = f32[32,10]{1,0} get-tuple-element(%gemm.1), index=0
}

ENTRY %main.10 (a: f32[8,16,16,64], b: f32[64,3,3,64]) -> f32[8] {
  %a = f32[8,16,16,64]{3,2,1,0} parameter(0), metadata={op_name="a"}
  %b = f32[64,3,3,64]{3,2,1,0} parameter(1)
  %conv.1 = (f32[8,16,16,64]{3,2,1,0}, u8[0]{0}) custom-call(%a, %b), \
window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %other = pred[5]{0} custom-call(%a), custom_call_target="MyOwn"
  ROOT %fusion = f32[8]{0} fusion(%conv.1), kind=kLoop, calls=%fused
}
"""


def test_operands_and_results_of_libraries_count_without_scratch():
    convolution = 4 * (8 * 16 * 16 * 64 + 64 * 3 * 3 * 64 + 8 * 16 * 16 * 64)
    product = 4 * 32 * 64 + 2 * 64 * 10 + 4 * 32 * 10
    entered_for_three_calls = 3
    assert bytes_of_library_calls(TEXT) == convolution + product + entered_for_three_calls


def test_other_programs_have_none():
    assert bytes_of_library_calls("") == 0
    assert bytes_of_library_calls(TEXT.replace("custom-call", "fusion")) == 0
