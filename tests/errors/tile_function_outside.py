# expect: 'f' is a tile_function and is called outside a kernel
# caret: -
# hint: call it in a function decorated with @tile_kernel


@tile_function
def f(a):
    return a


f(3)
