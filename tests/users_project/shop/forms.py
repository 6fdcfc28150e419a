"""The forms of the shop."""

from django import forms

from shop.models import Review


class ReviewForm(forms.ModelForm):
    class Meta:
        model = Review
        fields = ["stars", "text"]

    def clean_stars(self):
        stars = self.cleaned_data["stars"]
        if not 1 <= stars <= 5:
            raise forms.ValidationError("From one star to five.")
        return stars
