# expect: loop: 'n' enters as 0 and leaves as tile<index>
# caret: 12:n
# hint: a constant is not carried; tile.full((), 0, tile.i32) is a scalar that is
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    n = 0
    for k in tile.range(0, 2):
        n = k
