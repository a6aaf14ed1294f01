# expect: loop: 'p' enters as (tile<index>, 0) and leaves as (tile<index>, 1)
# caret: 12:p
# hint: a constant is not carried; tile.full((), 0, tile.i32) is a scalar that is
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    p = (i, 0)
    for k in tile.range(0, 2):
        p = (k, 1)
