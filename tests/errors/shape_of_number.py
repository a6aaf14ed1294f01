# expect: '.shape' belongs to tiles and tensors, got 4
# caret: 10:BN.shape
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]", *, BN: const = 4):
    i = tile.grid(1)
    t = BN.shape
