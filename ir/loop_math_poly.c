/* clang-format off
 * loop_math_poly.c: the polynomials of loop_math_*.c, lowest coefficient first: row 0 for f32, row 1 for f64.
 * Written by tools/minimax.py (Remez exchange): change that, not this.  The error beside each is the weighted maximum.
 */
#include "loop_math.h"

/* (e^r - 1 - r) / r^2 */
const Poly poly_exp[2] = {
    [0] = {5, { /* 2^-28.1 */
        0x1.0000000000000p-1, 0x1.5554860000000p-3, 0x1.55552a0000000p-5, 0x1.1241f60000000p-7,
        0x1.6cef240000000p-10,
    }},
    [1] = {11, { /* 2^-63.7 */
        0x1.0000000000000p-1, 0x1.555555555555cp-3, 0x1.5555555555556p-5, 0x1.111111110e95ap-7,
        0x1.6c16c16c15f55p-10, 0x1.a01a01b4a9d9bp-13, 0x1.a01a01a88504cp-16, 0x1.71dded34d4dcep-19,
        0x1.27e4d701050f1p-22, 0x1.af70fa107e579p-26, 0x1.1f7a5628f739bp-29,
    }},
};
/* 2^r, |r| <= 1/2 */
const Poly poly_exp2[2] = {
    [0] = {7, { /* 2^-27.5 */
        0x1.0000000000000p+0, 0x1.62e4320000000p-1, 0x1.ebfbe60000000p-3, 0x1.c6ada60000000p-5,
        0x1.3b21ca0000000p-7, 0x1.5fc0740000000p-10, 0x1.4bb8880000000p-13,
    }},
};
/* (2^r - 1 - r ln 2) / r^2, |r| <= 1/2, ln 2 as f32 */
const Poly poly_exp2m1[2] = {
    [0] = {5, { /* 2^-27.8 */
        0x1.ebfbe00000000p-3, 0x1.c6af480000000p-5, 0x1.3b2a580000000p-7, 0x1.5f29300000000p-10,
        0x1.4419420000000p-13,
    }},
};
/* f32: (ln(1+f) - f + f^2/2) / f^3; f64: (ln((1+s)/(1-s)) - 2s) / (s z), z = s^2 */
const Poly poly_log[2] = {
    [0] = {9, { /* 2^-28.1 */
        0x1.5555460000000p-2, -0x1.0000d20000000p-2, 0x1.99a6bc0000000p-3, -0x1.5506660000000p-3,
        0x1.22c5700000000p-3, -0x1.0399e80000000p-3, 0x1.f891b00000000p-4, -0x1.a4b3ca0000000p-4,
        0x1.50f3720000000p-5,
    }},
    [1] = {7, { /* 2^-58.5 */
        0x1.5555555555593p-1, 0x1.999999997f9f5p-2, 0x1.249249422a8e3p-2, 0x1.c71c51d77f6d4p-3,
        0x1.746649c3ce615p-3, 0x1.39a0931fb0742p-3, 0x1.2f119b962791dp-3,
    }},
};
/* (ln((1+s)/(1-s)) / 2s - 1 - z/3) / z^2, z = s^2: behind the two terms that pow adds in double-double */
const Poly poly_log_pair[2] = {
    [1] = {9, { /* 2^-77.0 */
        0x1.999999999999ap-3, 0x1.2492492492363p-3, 0x1.c71c71c747eb5p-4, 0x1.745d172bc6c09p-4,
        0x1.3b13ba5bc6f3ap-4, 0x1.110f1bd6059ccp-4, 0x1.e2659fba99c1dp-5, 0x1.a50607a2d599cp-5,
        0x1.ecbbd1eece71ep-5,
    }},
};
/* (sinh x - x) / x^3 in x^2, |x| < 1 */
const Poly poly_sinh[2] = {
    [1] = {9, { /* 2^-63.3 */
        0x1.5555555555555p-3, 0x1.11111111111c0p-7, 0x1.a01a019ffb708p-13, 0x1.71de3a7eac27fp-19,
        0x1.ae64190028e23p-26, 0x1.6159be2433477p-33, 0x1.78d44fd1624e3p-41, 0x1.e93fe3f475679p-45,
        -0x1.a052d6e780849p-47,
    }},
};
/* erf x / x - 1 in x^2, |x| < 1 */
const Poly poly_erf[2] = {
    [1] = {15, { /* 2^-56.2 */
        0x1.06eba8214db69p-3, -0x1.812746b037a3dp-2, 0x1.ce2f21a0481f0p-4, -0x1.b82ce314a6d5fp-6,
        0x1.565bcd7dfdb00p-8, -0x1.c02dcf8d15faap-11, 0x1.f9a7907a98c71p-14, -0x1.f54d40fce9faap-17,
        0x1.c339fc1bff671p-20, -0x1.df21b14488890p-23, 0x1.726d12919911dp-24, -0x1.02946ce02b421p-24,
        0x1.126c42f86a38fp-25, -0x1.5c7113cd5b18ap-27, 0x1.8bf145b7ec3c5p-30,
    }},
};
/* f32: log2 erfc(t) / t in t, 0 < t <= 4; f64: ln erfc(t) in t - 2, 1 <= t < 6 */
const Poly poly_erfc[2] = {
    [0] = {9, { /* 2^-27.3 */
        -0x1.a0be840000000p+0, -0x1.d63ebc0000000p-1, -0x1.2fada80000000p-3, 0x1.c4fdc60000000p-6,
        0x1.9737c00000000p-13, -0x1.356ff80000000p-9, 0x1.cff8a00000000p-11, -0x1.5123d40000000p-13,
        0x1.9a3cae0000000p-17,
    }},
    [1] = {23, { /* 2^-58.7 */
        -0x1.575b329b1f516p+2, -0x1.1ac3258a8dc28p+2, -0x1.d8f5dece92158p-1, -0x1.0dc3b5fb1067ap-6,
        0x1.d406b3703d370p-9, -0x1.7ffcfb5829b32p-11, 0x1.1bc3a7b180658p-13, -0x1.5b6559798007fp-16,
        0x1.0602dada6feafp-19, 0x1.b51e28f751e6cp-23, -0x1.73b68e7b27052p-23, 0x1.f20e63ad0038ap-25,
        -0x1.e43a469c8b886p-27, 0x1.415478e82a3b6p-29, -0x1.385c797df2b64p-33, 0x1.5cba6aaec4d1ap-34,
        -0x1.bf6a417ebf58bp-35, -0x1.8758a2e742d1dp-35, 0x1.43d864b5b8f54p-35, -0x1.9728d34061617p-41,
        -0x1.ab485a3f2bbf8p-38, 0x1.10ffe6e70217ep-39, -0x1.a98ba9eaa5326p-43,
    }},
};
/* (sin r - r) / r^3 in r^2 */
const Poly poly_sin[2] = {
    [0] = {3, { /* 2^-27.8 */
        -0x1.5555440000000p-3, 0x1.1106c60000000p-7, -0x1.991be60000000p-13,
    }},
    [1] = {7, { /* 2^-63.2 */
        -0x1.5555555555555p-3, 0x1.1111111111069p-7, -0x1.a01a019ffe549p-13, 0x1.71de3a33ac89ep-19,
        -0x1.ae642c60301efp-26, 0x1.6109c9fb05f28p-33, -0x1.a005361ae40a9p-41,
    }},
};
/* (cos r - 1 + r^2/2) / r^4 in r^2 */
const Poly poly_cos[2] = {
    [0] = {3, { /* 2^-33.1 */
        0x1.55554a0000000p-5, -0x1.6c0c1a0000000p-10, 0x1.99e0e20000000p-16,
    }},
    [1] = {7, { /* 2^-69.1 */
        0x1.5555555555555p-5, -0x1.6c16c16c16b2bp-10, 0x1.a01a019ffb951p-16, -0x1.27e4fb5896fd7p-22,
        0x1.1eed6d89e2035p-29, -0x1.9371ed78e63c9p-37, 0x1.9c8dbc0483c13p-45,
    }},
};
/* (asin x - x) / x^3 in x^2, |x| <= 0.5 */
const Poly poly_asin[2] = {
    [1] = {14, { /* 2^-63.8 */
        0x1.5555555555553p-3, 0x1.33333333339edp-4, 0x1.6db6db6d4bea7p-5, 0x1.f1c71ca717f2ap-6,
        0x1.6e8b9b114f086p-6, 0x1.1c4f83355ef27p-6, 0x1.c9811a0cdf2f9p-7, 0x1.7ba238eeb3584p-7,
        0x1.36cf73455540dp-7, 0x1.47d23be827fc7p-7, 0x1.6e3c2b933b0b4p-11, 0x1.963b1871e1432p-6,
        -0x1.abd4bab510120p-6, 0x1.1374d658072cep-5,
    }},
};
/* (atan x - x) / x^3 in x^2, |x| <= tan(pi/8) */
const Poly poly_atan[2] = {
    [1] = {13, { /* 2^-65.8 */
        -0x1.5555555555555p-2, 0x1.9999999999889p-3, -0x1.2492492488c62p-3, 0x1.c71c71c1c4221p-4,
        -0x1.745d16635f9aep-4, 0x1.3b139932627edp-4, -0x1.110f58faa4bf8p-4, 0x1.e1b63f096c1cbp-5,
        -0x1.ada3aecc30277p-5, 0x1.7c9a87f860b98p-5, -0x1.3b176fc18c6f6p-5, 0x1.9f6ef0c59bb27p-6,
        -0x1.2bbc8943a3799p-7,
    }},
};
