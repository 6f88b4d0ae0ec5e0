"""Amounts of money, and the currencies that Trove knows, with their minor units (decimal places of the smallest coin).

Source: ISO 4217 list one, and the protocols' own smallest units for the crypto codes.
"""

from decimal import Decimal

MAXIMUM_AMOUNT = Decimal(10**15)
MAXIMUM_DECIMAL_PLACES = 18
_BY_MINOR_UNITS = {
    0: """
    BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF
    """,
    2: """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
    CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD
    HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT
    MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU
    UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
    """,
    3: """
    BHD IQD JOD KWD LYD OMR TND
    """,
    4: """
    CLF UYW
    """,
}
_CRYPTO = {
    "BTC": 8,
    "ETH": 18,
    "SOL": 9,
    "XRP": 6,
    "BNB": 8,
    "DOGE": 8,
    "ADA": 6,
    "TRX": 6,
    "AVAX": 18,
    "DOT": 10,
    "LTC": 8,
    "BCH": 8,
    "XLM": 7,
    "XMR": 12,
    "USDT": 6,
    "USDC": 6,
    "DAI": 18,
}

MINOR_UNITS: dict[str, int] = {
    **{code: digits for digits, codes in _BY_MINOR_UNITS.items() for code in codes.split()},
    **_CRYPTO,
}
CRYPTO_CURRENCIES = frozenset(_CRYPTO)


def is_amount(value: Decimal) -> bool:
    """Whether a decimal can be an amount of money: from 0 to 10¹⁵, with at most 18 decimal places."""
    exponent = value.as_tuple().exponent
    # Nor a zero with an exponent that no column holds.
    is_sane = isinstance(exponent, int) and -MAXIMUM_DECIMAL_PLACES <= exponent <= MAXIMUM_AMOUNT.adjusted()
    return is_sane and 0 <= value <= MAXIMUM_AMOUNT
