# expect: annotation 'fp32[N]': 'fp32' is not a dtype
# caret: 8:fp32[N]
# hint: did you mean f32
# args: x=f32(8)


@tile_kernel
def kernel(x: "fp32[N]"):
    i = tile.grid(1)
    pass
