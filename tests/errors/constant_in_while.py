# expect: loop: 'm' enters as 0 and leaves as 1
# caret: 14:m
# hint: a constant is not carried; tile.full((), 0, tile.i32) is a scalar that is
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    n = i
    m = 0
    while n < 4:
        n += 1
        m += 1
