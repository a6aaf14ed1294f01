# expect: constant BN is missing
# caret: 8:kernel
# hint: kernel(.., BN=..)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]", *, BN: const):
    i = tile.grid(1)
    pass
