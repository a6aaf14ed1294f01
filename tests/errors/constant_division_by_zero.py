# expect: 1 // 0 is division by zero
# caret: 10:1 // BN
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]", *, BN: const = 0):
    i = tile.grid(1)
    t = 1 // BN
