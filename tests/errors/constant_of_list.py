# expect: constant BN: expected a number, bool, dtype, tuple or tile function, got list
# caret: 8:kernel
# hint:
# args: x=f32(8), BN=[1]


@tile_kernel
def kernel(x: "f32[N]", *, BN: const):
    i = tile.grid(1)
    pass
