/* The codes of ISO 4217 (active currencies, without funds, metals and codes for testing) and of ISO 3166-1
 * alpha-2. Both lists change about once a year; a code that is added or withdrawn is one entry here. */
#include "http/validation_decode.h"

#define CURRENCY_LEN 3
#define COUNTRY_LEN 2

/* In alphabetical order and without gaps, so that a look-up is a binary search in 500 bytes. */
static const char currencies[] = "AEDAFNALLAMDAOAARSAUDAWGAZNBAMBBDBDTBGNBHDBIFBMDBNDBOBBRLBSDBTNBWPBYNBZD"
                                 "CADCDFCHFCLPCNYCOPCRCCUPCVECZKDJFDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIP"
                                 "GMDGNFGTQGYDHKDHNLHTGHUFIDRILSINRIQDIRRISKJMDJODJPYKESKGSKHRKMFKPWKRWKWD"
                                 "KYDKZTLAKLBPLKRLRDLSLLYDMADMDLMGAMKDMMKMNTMOPMRUMURMVRMWKMXNMYRMZNNADNGN"
                                 "NIONOKNPRNZDOMRPABPENPGKPHPPKRPLNPYGQARRONRSDRUBRWFSARSBDSCRSDGSEKSGDSHP"
                                 "SLESOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTNDTOPTRYTTDTWDTZSUAHUGXUSDUYUUZSVEDVES"
                                 "VNDVUVWSTXAFXCDXCGXOFXPFYERZARZMWZWG";

static const char countries[] = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBY"
                                "BZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFK"
                                "FMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIR"
                                "ISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMK"
                                "MLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPM"
                                "PNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTF"
                                "TGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW";

/* Binary search among `count` codes of `len` letters. */
static bool is_among(const char *codes, size_t count, size_t len, struct slice code)
{
    if (code.len != len)
        return false;
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        int order = memcmp(code.ptr, codes + middle * len, len);
        if (order == 0)
            return true;
        if (order < 0)
            count = middle;
        else
            low = middle + 1;
    }
    return false;
}

bool currency_is_known(struct slice code)
{
    return is_among(currencies, (sizeof(currencies) - 1) / CURRENCY_LEN, CURRENCY_LEN, code);
}

bool country_is_known(struct slice code)
{
    return is_among(countries, (sizeof(countries) - 1) / COUNTRY_LEN, COUNTRY_LEN, code);
}
