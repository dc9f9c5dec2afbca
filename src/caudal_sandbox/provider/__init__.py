"""The provider of card, pix, boleto, pse and mpesa: payments, operations on them, disputes, and the payer."""
